"""Ready-made agents, one file each: portal, provider, platform, instance, account, filesystem, scheduler, bridge.

Each has a table `handlers`, which can be extended, and `run(config)`, which runs the agent until it is stopped::

    from templemeads import AgentConfig
    from templemeads.roles import scheduler

    trio.run(scheduler.run, AgentConfig.load("slurm-config.toml"))

May import every other room of templemeads; only `cli` imports this one. What a role decides (names, paths, command lines,
the order of steps) is pure and apart from what runs it. Programs of the system are run through `programs` only.
"""
