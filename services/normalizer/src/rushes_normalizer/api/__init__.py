"""The read API: previews, what needs attention, and status changes, for clients without Kafka or SQL."""
