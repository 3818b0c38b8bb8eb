"""What operators see and do with a browser, or with a key of the scope `admin`."""
