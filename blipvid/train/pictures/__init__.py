"""What is learnt from: batches of pictures, drawn or read from files, in an order that a run can go on in.

`images` is the door; `settings` what a recipe may say; `sets` and `shards` read files, of which `rows` and `samples`
know the layouts; `order` and `augment` are chance; `batches` is what objectives take.
"""
