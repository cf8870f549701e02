"""What is found out about data and models: each file is one study, called by one command."""
