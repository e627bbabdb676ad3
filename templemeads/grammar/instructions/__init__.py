"""The rows of the table of instructions, one module for each family."""

from .accounts import AddUser, RemoveUser

__all__ = ["AddUser", "RemoveUser"]
