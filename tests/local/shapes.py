"""Holds what a stand-in answers against botocore's model of the service."""


def check_shape(shape, value, where):
    """Asserts that `value`, as it came over the wire, has the shape: no unknown member, each of the right type."""
    kinds = {
        "string": str,
        "long": int,
        "integer": int,
        "boolean": bool,
        "double": (int, float),
        "timestamp": (int, float),
        "blob": str,
    }
    if shape.type_name == "structure":
        assert isinstance(value, dict), where
        assert set(value) <= set(shape.members), f"{where}: {set(value) - set(shape.members)}"
        assert set(shape.required_members) <= set(value), where
        for name, inner in value.items():
            check_shape(shape.members[name], inner, f"{where}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            check_shape(shape.member, inner, f"{where}[]")
    elif shape.type_name == "map":
        assert isinstance(value, dict), where
        for name, inner in value.items():
            check_shape(shape.value, inner, f"{where}.{name}")
    else:
        assert isinstance(value, kinds[shape.type_name]), f"{where}: {value!r}"
        assert not getattr(shape, "enum", None) or value in shape.enum, f"{where}: {value}"
