"""What a sweep means against a store: keys, chains of epochs, the plan. Starts no Ray."""
