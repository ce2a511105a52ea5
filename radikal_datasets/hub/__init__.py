"""Push prepared folders to a Hub, and check whether a Hub can be used."""
