from examples.running import Example
EXAMPLE = Example("pixorly", "x", (), lambda a, b, c: ())
