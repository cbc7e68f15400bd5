"""The token-allowance web client: `POST /api/provisioning/{function}` and `/api/account/{function}`, in its own words."""
