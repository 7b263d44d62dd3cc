"""Rolling restarts under load: two replicas of every service, their clients, and what is counted."""
