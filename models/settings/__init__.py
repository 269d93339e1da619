"""What each model can be told: its hyper-parameters, how large they make it; nothing heavy here."""
