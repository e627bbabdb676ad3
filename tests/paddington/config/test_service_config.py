"""The configuration of a service: built, changed, written and read back."""

import itertools
import stat
import tomllib

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddington import ClientConfig, ConfigError, Invite, Key, Limits, Peer, ServerConfig, ServiceConfig
from paddington.config.address import Addresses
from paddington.config.secrets import EnvironmentEncryption, SimpleEncryption

KEYS = ["2c" * 32, "c2" * 32, "3d" * 32, "4e" * 32, "5f" * 32, "60" * 32]

EXISTING = f"""
agent = "Instance"

[service]
name = "cluster"
url = "wss://cluster.example.org:8046/"
ip = "0.0.0.0"
port = 8046
heathcheck_port = 8080
proxy_header = "X-Real-IP"

[[service.servers]]
name = "clusters"
url = "wss://clusters.example.org:8045/"
zone = "default"

[service.servers.inner_key]
data = "{KEYS[0]}"

[service.servers.outer_key]
data = "{KEYS[1]}"

[[service.clients]]
name = "freeipa"
zone = "internal"

[service.clients.ip]
IP = "10.0.0.7"

[service.clients.inner_key]
data = "{KEYS[2]}"

[service.clients.outer_key]
data = "{KEYS[3]}"

[[service.clients]]
name = "slurm"
zone = "internal"

[service.clients.ip]
Range = "10.1.0.0/16"

[service.clients.inner_key]
data = "{KEYS[4]}"

[service.clients.outer_key]
data = "{KEYS[5]}"

[service.encryption.Environment]
key = "OPENPORTAL_SECRET"

[extras]
some-option = "plain text"
"""


@pytest.fixture
def existing(tmp_path):
    path = tmp_path / "cluster-config.toml"
    path.write_text(EXISTING)
    path.chmod(0o600)
    return path


def portal():
    return ServiceConfig.create("portal", url="http://localhost:6501", ip="127.0.0.1", port=6501)


def test_a_file_of_an_existing_service_loads_as_it_is(existing):
    config = ServiceConfig.load(existing)
    assert (config.name, config.url, str(config.ip), config.port) == (
        "cluster",
        "wss://cluster.example.org:8046/",
        "0.0.0.0",
        8046,
    )
    assert (config.healthcheck_port, config.proxy_header, config.trusted_proxy) == (8080, "X-Real-IP", None)
    assert config.encryption == EnvironmentEncryption("OPENPORTAL_SECRET")
    assert config.limits == Limits()
    assert config.servers == (
        ServerConfig(
            name="clusters",
            url="wss://clusters.example.org:8045/",
            inner_key=Key.from_hex(KEYS[0]),
            outer_key=Key.from_hex(KEYS[1]),
        ),
    )
    assert [(client.peer, str(client.ip)) for client in config.clients] == [
        (Peer("freeipa", "internal"), "10.0.0.7"),
        (Peer("slurm", "internal"), "10.1.0.0/16"),
    ]


def test_writing_it_back_unchanged_changes_nothing_but_the_mode(existing):
    before = existing.read_text()
    ServiceConfig.load(existing).save(existing)
    assert existing.read_text() == before


def test_editing_keeps_comments_order_and_keys_that_are_not_ours(existing):
    existing.write_text(
        EXISTING.replace('agent = "Instance"', '# who we are\nagent = "Instance"  # one cluster')
        .replace("port = 8046", "port = 8046  # asked for in March\nmystery = [1, 2]")
        .replace(
            '[[service.clients]]\nname = "slurm"',
            '[[service.clients]]\n# the scheduler\nname = "slurm"\nnote = "x"',
        )
    )
    config = ServiceConfig.load(existing)
    config.port = 9000
    config.proxy_header = None
    config.remove_client("freeipa")
    config.encryption = SimpleEncryption()
    config.add_client("filesystem", "10.0.0.9, 10.2/16", "internal", type="Filesystem")
    config.save(existing)

    text = existing.read_text()
    assert '# who we are\nagent = "Instance"  # one cluster' in text
    assert "port = 9000  # asked for in March" in text
    assert "# the scheduler" in text
    written = tomllib.loads(text)
    assert written["extras"] == {"some-option": "plain text"}
    assert written["service"]["mystery"] == [1, 2]
    assert "proxy_header" not in written["service"]
    assert written["service"]["encryption"] == {"Simple": {}}
    slurm, filesystem = written["service"]["clients"]
    assert (slurm["name"], slurm["note"]) == ("slurm", "x")
    assert filesystem["ip"] == {"List": ["10.0.0.9", "10.2/16"]}
    assert filesystem["type"] == "filesystem"
    assert ServiceConfig.load(existing) == config


def test_a_new_file_is_the_owners_alone_and_reads_back(tmp_path):
    config = portal()
    config.trusted_proxy = "10.0.0.1"
    config.limits = Limits(watchdog_seconds=60)
    config.add_client("cluster", "127.0.0.1")
    path = tmp_path / "new" / "portal.toml"
    config.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ServiceConfig.load(path) == config
    assert tomllib.loads(path.read_text())["service"]["limits"] == {"watchdog_seconds": 60}


def test_a_bare_file_has_the_same_keys_at_its_root(tmp_path):
    path = tmp_path / "service.toml"
    path.write_text(
        'name = "a"\nurl = "ws://localhost:1/"\nip = "::1"\nport = 1\nservers = []\nclients = []\n'
    )
    config = ServiceConfig.load(path)
    assert (config.name, str(config.ip)) == ("a", "::1")
    config.add_client("b", "::1/128")
    config.save(path)
    assert "service" not in tomllib.loads(path.read_text())
    assert ServiceConfig.load(path) == config


def test_keys_that_others_can_read_are_refused_with_the_command_that_fixes_it(existing):
    existing.chmod(0o644)
    with pytest.raises(
        ConfigError,
        match=f'mode 0644 lets others read or change them. Run: chmod 600 "{existing}".*--allow-readable',
    ):
        ServiceConfig.load(existing)
    assert ServiceConfig.load(existing, allow_readable=True).name == "cluster"
    # Without peers there is nothing to hide.
    existing.write_text(
        '[service]\nname = "a"\nurl = "ws://h:1/"\nip = "::1"\nport = 1\nservers = []\nclients = []\n'
    )
    assert not ServiceConfig.load(existing).holds_keys


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "cluster"\n', "", 'service: "name" is missing'),
        ('name = "cluster"\n', "name = 5\n", 'service: "name" must be a string'),
        ('name = "cluster"\n', 'name = "a b"\n', """"name" is wrong. The name "a b" has the character ' '"""),
        ("port = 8046", "port = 65536", '"port" must be from 0 to 65535'),
        ("port = 8046", "port = true", '"port" must be a whole number'),
        ("port = 8046", 'port = "8046"', '"port" must be a whole number'),
        ('ip = "0.0.0.0"', 'ip = "localhost"', '"ip" is wrong. "localhost" is not an IPv4'),
        ("wss://cluster.example.org:8046/", "gopher:h", 'The url "gopher:h" does not begin with'),
        ("[[service.servers]]", "[service.servers]", '"servers" must be an array of tables'),
        (f'data = "{KEYS[0]}"', 'data = "2c"', 'servers" 1, "inner_key": "data" is wrong. A key'),
        (f'[service.servers.inner_key]\ndata = "{KEYS[0]}"', "", '"servers" 1: "inner_key" is missing'),
        (KEYS[4], "00" * 32, 'clients" 2: The inner key is all zero'),
        ('IP = "10.0.0.7"', 'IP = "10.0.0.7:80"', 'clients" 1: "ip" is wrong'),
        ('name = "slurm"', 'name = "freeipa"', 'two clients "freeipa@internal"'),
        ('name = "slurm"', 'name = "cluster"', "this service's own name"),
        ('name = "slurm"\nzone = "internal"', 'name = "clusters"', "a client and a server"),
        (KEYS[4], KEYS[2], None),
        ("[service.encryption.Environment]", "[service.encryption.Vault]", "Environment or Simple"),
        ('key = "OPENPORTAL_SECRET"', 'key = "A=B"', "environment variable"),
        ("[service.encryption", "[service.limits]\nsend_queue = 0\n[service.encryption", "send_queue"),
        ("[service.encryption", "[service.limits]\nsend_queu = 1\n[service.encryption", "send_queu"),
        ('proxy_header = "X-Real-IP"', 'proxy_header = "X Real"', "name of a header"),
        ("[extras]", "[extras", r"not valid TOML (line 52"),
    ],
)
def test_a_mistake_in_a_file_is_reported_with_its_place(existing, old, new, words):
    assert old in EXISTING
    existing.write_text(EXISTING.replace(old, new))
    if words is None:
        ServiceConfig.load(existing)
        return
    with pytest.raises(ConfigError) as caught:
        ServiceConfig.load(existing)
    message = str(caught.value)
    assert str(existing) in message
    assert words in message
    assert not any(key.lower() in message.lower() for key in KEYS)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "1" * 100_000,
        "[" + "a." * 10_000 + "a]",
        "a = 9999-99-99",
        "a\0b = 1",
        "\ufeffa = 1",
        'service = "x"',
        "",
        "[[service]]",
    ],
)
def test_strange_files_end_in_a_clear_error(tmp_path, text):
    path = tmp_path / "strange.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"strange\.toml"):
        ServiceConfig.load(path)


def test_two_peers_never_share_keys(existing):
    # Security case P21: the first frame of a caller must open for one client only.
    for first, second in [(KEYS[2], KEYS[3]), (KEYS[3], KEYS[2])]:
        existing.write_text(EXISTING.replace(KEYS[4], first).replace(KEYS[5], second))
        with pytest.raises(ConfigError, match="have the same keys"):
            ServiceConfig.load(existing)


def test_an_invite_makes_both_sides_agree():
    server, client = portal(), ServiceConfig.create("cluster")
    invite = server.add_client("cluster", "10.0.0.0/24", "zone1", type="instance", own_type="Portal")
    entry = client.add_server(invite)
    (known,) = server.clients
    assert (entry.peer, known.peer) == (Peer("portal", "zone1"), Peer("cluster", "zone1"))
    assert (entry.inner_key, entry.outer_key) == (known.inner_key, known.outer_key)
    assert entry.inner_key != entry.outer_key
    assert (entry.url, entry.type, known.type) == ("ws://localhost:6501/", "portal", "instance")
    with pytest.raises(ConfigError, match="two servers"):
        client.add_server(invite)
    with pytest.raises(ConfigError, match="own name"):
        server.add_server(invite)
    assert client.servers == (entry,)


def test_a_refused_change_leaves_everything_as_it_was():
    config = portal()
    config.add_client("cluster", "10.0.0.1")
    before = attrs.evolve(config)
    for change in (
        lambda: config.add_client("cluster", "10.0.0.2"),
        lambda: config.add_client("portal", "10.0.0.2"),
        lambda: config.add_client("a b", "10.0.0.2"),
        lambda: config.add_client("other", "10.0.0.300"),
        lambda: config.add_client("other"),
        lambda: config.add_client("other", "10.0.0.2", "a zone"),
        lambda: config.rotate_client_keys("other"),
        lambda: config.rotate_client_keys("cluster", "elsewhere"),
    ):
        with pytest.raises(ConfigError):
            change()
    assert config == before


def test_keys_are_rotated_on_both_sides():
    server, client = portal(), ServiceConfig.create("cluster")
    first = server.add_client("cluster", "10.0.0.1")
    client.add_server(first)
    second = server.rotate_client_keys("cluster")
    assert second.inner_key != first.inner_key
    assert second.peer == first.peer
    client.rotate_server_keys(attrs.evolve(second, url="ws://elsewhere:1"))
    assert client.servers[0].inner_key == server.clients[0].inner_key == second.inner_key
    assert client.servers[0].outer_key == server.clients[0].outer_key
    assert client.servers[0].url == "ws://localhost:6501/"
    with pytest.raises(ConfigError, match='no server "portal@x"'):
        client.rotate_server_keys(attrs.evolve(second, zone="x"))


def test_peers_are_removed_by_name_and_zone():
    config = portal()
    config.add_client("a", "10.0.0.1")
    config.add_client("b", "10.0.0.1", "x")
    config.add_client("b", "10.0.0.1", "y")
    assert config.remove_client("a")
    assert not config.remove_client("a")
    assert not config.remove_client("b", "z")
    with pytest.raises(ConfigError, match='several zones: "x", "y"'):
        config.remove_client("b")
    assert config.remove_client("b", "x")
    assert config.remove_client("b")
    assert config.clients == ()
    assert not config.remove_server("a")


def test_a_relayed_client_needs_no_address():
    config = portal()
    invite = config.add_client("far", proxy="relay")
    assert (invite.proxy, config.clients[0].ip) == ("relay", None)
    other = ServiceConfig.create("far")
    assert other.add_server(invite).url == ""
    assert ServiceConfig.from_toml(other.to_toml()) == other
    assert ServiceConfig.from_toml(config.to_toml()) == config


def test_keys_show_nowhere():
    config = portal()
    invite = config.add_client("cluster", "10.0.0.1")
    ServiceConfig.create("cluster").add_server(invite)
    shown = f"{config!r} {config} {invite!r} {config.clients!r}"
    assert invite.inner_key.hex() not in shown
    assert invite.outer_key.hex() not in shown
    assert "redacted" in shown


names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
keys = st.binary(min_size=32, max_size=32).filter(any).map(Key)
ips = st.sampled_from(["10.0.0.1", "::1", "10/8", "2001:db8::/32", "10.0.0.1,::1,10.1.0.0/16"]).map(
    Addresses.parse
)
types = st.none() | st.sampled_from(["portal", "instance"])
clients = st.builds(
    ClientConfig,
    name=names,
    ip=ips,
    zone=names,
    inner_key=keys,
    outer_key=keys,
    proxy=st.none() | names,
    type=types,
)
urls = st.sampled_from(["ws://h:1/", "wss://h", "wss://[::1]:5/x"])
servers = st.builds(
    ServerConfig,
    name=names.map("s{}".format),
    url=urls,
    zone=names,
    inner_key=keys,
    outer_key=keys,
    type=types,
    plain_salts=st.booleans(),
)
encryptions = st.sampled_from([None, SimpleEncryption(), EnvironmentEncryption("X")])


def entries(strategy):
    return st.lists(strategy, max_size=3, unique_by=lambda entry: entry.peer).map(tuple)


@st.composite
def configs(draw):
    try:
        return ServiceConfig(
            name="itself0",
            url=draw(urls),
            ip=draw(st.ip_addresses().filter(lambda ip: getattr(ip, "scope_id", None) is None)),
            port=draw(st.integers(0, 65535)),
            healthcheck_port=draw(st.none() | st.integers(0, 65535)),
            proxy_header=draw(st.none() | st.just("X-Real-IP")),
            trusted_proxy=draw(st.none() | ips),
            servers=draw(entries(servers)),
            clients=draw(entries(clients)),
            encryption=draw(encryptions),
            dense_framing=draw(st.booleans()),
            limits=draw(
                st.sampled_from([Limits(), Limits(send_queue=5), Limits(close_seconds=1.5, epochs=3)])
            ),
        )
    except ConfigError:
        return portal()


def in_order(config):
    """The configuration with its peers sorted, whose order means nothing."""
    return attrs.evolve(
        config,
        clients=sorted(config.clients, key=lambda each: (each.name, each.zone)),
        servers=sorted(config.servers, key=lambda each: (each.name, each.zone)),
    )


@settings(max_examples=40)
@given(configs(), configs())
def test_any_configuration_survives_its_file_also_one_that_was_another_before(
    tmp_path_factory, first, second
):
    path = tmp_path_factory.mktemp("config") / "c.toml"
    first.save(path)
    assert ServiceConfig.load(path) == first
    path.write_text('# a comment\nagent = "Portal"\n' + path.read_text() + "\n[extras]\nx = 'y'\n")
    second.save(path)
    # Peers that were there before keep their places in the file.
    assert in_order(ServiceConfig.load(path)) == in_order(second)
    assert tomllib.loads(path.read_text())["extras"] == {"x": "y"}
    assert path.read_text().startswith('# a comment\nagent = "Portal"\n')


def test_invites_are_named_after_their_author():
    invite = portal().add_client("cluster", "10.0.0.1", "a>b")
    assert isinstance(invite, Invite)
    assert invite.file_name == "invite_portal_a>b.toml"


@pytest.mark.parametrize("before", list(itertools.permutations("abc", 2)))
@pytest.mark.parametrize("after", list(itertools.permutations("abc")))
def test_clients_are_saved_in_the_order_that_they_have(tmp_path, before, after):
    path = tmp_path / "c.toml"
    for names in (before, after):
        config = ServiceConfig.create("itself", url="ws://h:1/", port=1)
        for name in names:
            config.add_client(name, "10.0.0.1")
        config.save(path)
        assert ServiceConfig.load(path) == config
