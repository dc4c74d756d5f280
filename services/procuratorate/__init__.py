"""The procuratorate desk 检察院."""
