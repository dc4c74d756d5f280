"""The police desk 公安."""
