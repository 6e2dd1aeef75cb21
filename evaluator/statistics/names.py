"""Which stages carry which objective."""
ACCURACY_STAGES = ("retrieval", "chain", "reasoning")
SPEED_STAGE = "speed"
CONFIRM_STAGE = "confirm"
