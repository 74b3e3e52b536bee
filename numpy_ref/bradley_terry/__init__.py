"""bradley_terry"""
