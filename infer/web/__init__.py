"""The local page of `imgsim-edge browse`: what it shows, how it is served, who may ask.

`guard` decides who may ask, `app` has the routes, `listing` puts the photos in order, `thumbnails`
makes and keeps small pictures, `server` binds the port. The page itself lies in `static/`.
"""
