"""The page of `imgsim-edge browse`: what it shows, how it is served, who may ask.

`server` binds the port and `guard` decides who may ask; both know nothing of the page, and serve
any application. `app` puts the page's answers together: `collection_app` (the photos in order),
`picture_app` (their pictures), `search_app` (neighbours), `download_app` (files to take away),
`review_app` (duplicates). `listing` puts the photos in order, `thumbnails` makes and keeps small
pictures, `messages` has the form of requests and answers. The page itself lies in `static/`.
"""
