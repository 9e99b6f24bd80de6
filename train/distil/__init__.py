"""Photos of any kind → an encoder that keeps their neighbourhoods."""
