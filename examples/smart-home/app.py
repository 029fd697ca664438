"""Switches the fan on while the model ``comfort`` finds it too hot."""

import fairlead

app = fairlead.App()
thermometer, fan, comfort = app.device("thermometer"), app.device("fan"), app.model("comfort")
told: list[bool] = []


@app.on(thermometer.temperature)
async def look(reading: fairlead.Reading) -> None:
    verdict = await comfort.predict(temperature=reading.value, comfort_c=app.params["comfort_c"])
    command = await fan.send(on=verdict["hot"])
    if told[-1:] != [verdict["hot"]]:  # the log has what changes, not each reading
        told[:] = [verdict["hot"]]
        app.log.info("fan %s: %s (%s)", "on" if verdict["hot"] else "off", verdict["why"], command.status)
