"""The court desk 法院."""
