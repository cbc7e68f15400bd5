"""Products that use Headrace, as scripts over HTTP: each does what its product does, in order, and checks every answer."""
