"""The normalizer: uploads in, verified outputs and statuses out."""
