from examples.running import Example
EXAMPLE = Example("reimaji", "x", (), lambda a, b, c: ())
