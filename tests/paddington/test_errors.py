import inspect
import re

import pytest

from paddington import errors
from paddington.errors import PaddingtonError, PayloadTooLargeError


def _all_errors() -> dict[str, type[Exception]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }


def test_every_error_has_the_one_root() -> None:
    assert all(issubclass(error, PaddingtonError) for error in _all_errors().values())


def test_the_picture_shows_every_error_below_its_parent() -> None:
    drawn = re.findall(r"^    ([│├└─ ]*)(\w+Error)( \(ValueError\))?", errors.__doc__ or "", re.MULTILINE)
    assert {name for _, name, _ in drawn} == set(_all_errors())
    path: dict[int, type[Exception]] = {}
    for indent, name, value_error in drawn:
        error = _all_errors()[name]
        depth = len(indent) // 4
        path[depth] = error
        if depth:
            assert issubclass(error, path[depth - 1])
        if value_error:
            assert issubclass(error, ValueError)


def test_a_payload_that_is_too_large_says_by_how_much() -> None:
    with pytest.raises(PayloadTooLargeError, match=r"1000 bytes.*900 fit") as caught:
        raise PayloadTooLargeError(1000, 900)
    assert (caught.value.size, caught.value.limit) == (1000, 900)
