"""What the house does by itself: rules with two thresholds each, so that nothing goes on and off in turn. Pure."""


def cools(temperature: float, is_on: bool, comfort_c: float, above_c: float) -> bool:
    """Whether the air conditioner runs: from ``above_c`` over the comfortable temperature on, until that is reached."""
    return temperature > comfort_c if is_on else temperature > comfort_c + above_c


def lights(lux: float, is_on: bool, dark_lx: float, bright_lx: float) -> bool:
    """Whether the lamps shine: when it is dark, until it is so bright that more than they shine."""
    return lux < max(dark_lx, bright_lx) if is_on else lux < dark_lx
