"""The desk that police, procuratorate and court share. What makes it one of them is its rulebook, and nothing else."""
