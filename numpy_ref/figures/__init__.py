"""Every picture, drawn from plain arrays; matplotlib is imported when the first one is drawn. In reading order:

style           Picture, the house style, saving
lessons         the pictures of the lessons and of `compare`
architecture    the model as a drawing
notebook        small tables, simple pictures and interactive figures for notebooks
"""
