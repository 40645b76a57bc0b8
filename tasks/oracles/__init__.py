"""The processes that measure, and the answers they leave."""
