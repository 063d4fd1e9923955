"""Digital chips with clocked cores."""
