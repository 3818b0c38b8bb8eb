"""What proves that a fault loses nothing: buyers, a second writer, the comparison after each fault."""
