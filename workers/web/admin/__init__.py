"""The admin pages and the admin API, for a browser session or an API key of the scope `admin`."""
