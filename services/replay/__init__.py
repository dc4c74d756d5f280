"""Replays timelines of real cases through a whole city in sandbox time, and proves afterwards that nothing was lost or done twice."""
