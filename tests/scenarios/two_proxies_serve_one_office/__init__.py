"""Two proxies serve the phones of one office: whoever is called rings, and whoever watches sees, at either of them."""
