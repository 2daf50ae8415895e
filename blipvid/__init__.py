"""blipvid: how well does an image-trained BLIP do on video, with no video training?"""

__version__ = "0.1.0"
