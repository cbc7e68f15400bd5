"""Makes the client's models and routes from docs/openapi.json, and the blocking half from the asynchronous one."""
