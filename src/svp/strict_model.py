"""A diffusers model whose configuration must fit exactly: an unknown key is an error, not a warning."""

from typing import Any

from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin


class StrictModel(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Base of the project's networks: `from_pretrained` and `save_pretrained` of diffusers with a strict configuration.

    diffusers ignores unknown keys of a `config.json` with a warning, so that a misspelt option silently means its
    default. Here they raise, and so does the configuration of another class.
    """

    @classmethod
    def extract_init_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> tuple[dict, dict, dict]:
        """As in `ConfigMixin`.

        Raises:
            ValueError: if a public key is not an argument of the class, or the configuration belongs to another class.
        """
        written_by = config_dict.get("_class_name", cls.__name__)
        if written_by != cls.__name__:
            raise ValueError(f"configuration of {written_by} given to {cls.__name__}; load it with its own class")
        known = cls._get_init_keys(cls) - {"self"}
        unknown = sorted(key for key in config_dict if not key.startswith("_") and key not in known)
        if unknown:
            raise ValueError(
                f"{cls.__name__}: unknown configuration keys {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        return super().extract_init_dict(config_dict, **kwargs)
