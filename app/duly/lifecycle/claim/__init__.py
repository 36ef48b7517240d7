"""Claims ready jobs for free slots, within the claim restrictions: pauses, limits and open breakers."""
