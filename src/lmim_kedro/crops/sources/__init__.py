"""Where crops come from: every layout that users have, and rendered words."""
