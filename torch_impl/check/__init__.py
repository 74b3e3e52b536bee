"""Is somebody's autograd.Function, or a module that uses one, right? The check does not rely on autograd.

backward        check_autograd_function and check_module
"""

from .backward import check_autograd_function, check_module

__all__ = ["check_autograd_function", "check_module"]
