"""What a real Glance answered on the routes Glint serves, and the comparison with what Glint answers."""
