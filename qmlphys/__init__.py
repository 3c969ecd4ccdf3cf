"""qmlphys."""
