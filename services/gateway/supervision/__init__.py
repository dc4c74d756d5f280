"""What follows when a limit nears its end or is missed: notices to the office that bears it, and supervision 督办 by the committee."""
