"""What every kind of registry must do, said once and run over each."""
