"""Reading a user's images and splitting them."""
