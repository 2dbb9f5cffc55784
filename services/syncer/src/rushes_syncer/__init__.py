"""The syncer: copies previews from the main store to the other sites of a studio."""
