"""How the product is run. No service imports anything from here."""
