"""`xieban-node`: what an operator does to a node's files: back up, restore, check. No part of any node."""
