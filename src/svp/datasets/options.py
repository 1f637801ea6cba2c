"""Options of what takes long: frozen, without unknown keys, and a wrong value is an input error."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from svp.errors import InputError


class Options(BaseModel):
    """Base of the options that are kept with what they made."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def checked(cls, **values: Any) -> Self:
        """Options from what a user gave.

        Raises:
            InputError: a value cannot be used; the message names it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{first['loc'][0]} {first['input']!r}: " if first["loc"] else ""
            problem = first["msg"].removeprefix("Value error, ")
            raise InputError(f"{what}{problem}; choose another value") from error
