"""The processes: broker, actors, scheduler, HTTP. They have no rules of their own."""
